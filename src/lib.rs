//! A KRM function that injects an EphemeralAccess plugin into the controller Deployment.
