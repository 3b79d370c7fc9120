# Recipes for people. Where CI checks the same thing, the recipe is a step of .ci/run, so both run one command.

export CARGO_TERM_COLOR := "always"

# Lists the recipes.
default:
    @{{ just_executable() }} --list --unsorted

# Formats the code.
fmt:
    cargo fmt --all

# Runs clippy; a warning is an error.
lint:
    .ci/run format lint

# Runs every test that needs no outside program.
test:
    .ci/run test

# Builds the API documentation; a warning is an error.
doc:
    .ci/run doc

# Checks licences, duplicates and sources of the dependencies.
deny:
    .ci/run deny

# Checks that the oldest promised Rust builds the workspace.
msrv:
    .ci/run msrv

# Writes the generated files again.
generated:
    .ci/run generated

# Builds the function's image for this machine, for example with `--platform linux/arm64` for another one.
image *options:
    docker build --tag localhost/inject-ephemeral-access-plugin:0.1.0 {{ options }} .

# Builds every image for amd64 and arm64, for example with `--prefix registry.example.com/team/`.
images *options:
    .ci/images {{ options }}

# Runs the end-to-end tests; arguments go to `cargo test`, for example `--test kpt`.
e2e *options:
    e2e/run {{ options }}

# Runs the plugin runtime against hashicorp's go-plugin; needs Go.
interop:
    .ci/run interop

# Checks what the function writes on a real API server, which it builds for that.
controller:
    .ci/run controller

# Tells the story of an access with upstream's controller in a pod; as root.
story:
    .ci/run story

# Runs every fuzz target for some seconds.
fuzz seconds="60":
    FUZZ_SECONDS={{ seconds }} .ci/run fuzz

# Runs the benchmarks.
bench *options:
    cargo bench {{ options }}

# Runs everything that CI runs.
ci:
    .ci/run
