//! ResourceLists of any size, the same ones on every machine.

use serde_json::Value;

use super::Outcome;

/// How a ResourceList is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// As kustomize and kpt send it: what the line scanner takes.
    Canonical,
    /// With indented items: only the event parser takes it.
    Indented,
    /// One item a line.
    Json,
}

impl Shape {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Canonical => "canonical",
            Self::Indented => "indented",
            Self::Json => "JSON",
        }
    }
}

const CONFIG: &str = "\
apiVersion: fn.ephemeral-access.dev/v1alpha1
kind: EphemeralAccessPlugin
metadata:
  name: change-window
spec:
  image: registry.example.com/change-window:1.4.2
";

const CONTROLLER: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  annotations:
    config.kubernetes.io/index: '7'
    config.kubernetes.io/path: 'install.yaml'
    internal.config.kubernetes.io/index: '7'
    internal.config.kubernetes.io/path: 'install.yaml'
  labels:
    app.kubernetes.io/component: controller
    app.kubernetes.io/name: argocd-ephemeral-access
  name: controller
  namespace: argocd-ephemeral-access
spec:
  selector:
    matchLabels:
      app.kubernetes.io/name: argocd-ephemeral-access
  template:
    metadata:
      labels:
        app.kubernetes.io/component: controller
        app.kubernetes.io/name: argocd-ephemeral-access
    spec:
      containers:
      - args:
        - controller
        image: ghcr.io/argoproj-labs/argocd-ephemeral-access:v1.2.0
        name: controller
        resources: {}
      securityContext:
        runAsNonRoot: true
      serviceAccountName: controller
";

/// A ResourceList with `count` items, the controller's Deployment in the middle.
pub(crate) fn resource_list(count: usize, shape: Shape) -> Outcome<String> {
    let items = (0..count)
        .map(|index| if index == count / 2 { CONTROLLER.to_owned() } else { item(index) });
    match shape {
        Shape::Canonical => Ok(block(items, "")),
        Shape::Indented => Ok(block(items, "  ")),
        Shape::Json => json(items),
    }
}

/// A ResourceList of the documents of a manifest.
pub(crate) fn from_manifest(manifest: &str) -> String {
    let documents = manifest.split("\n---\n").map(|document| {
        let content = |line: &&str| !line.starts_with('#') && *line != "---";
        let lines: Vec<_> = document.lines().filter(content).collect();
        lines.join("\n") + "\n"
    });
    block(documents, "")
}

fn block(items: impl Iterator<Item = String>, indent: &str) -> String {
    let mut list = "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems:\n".to_owned();
    for item in items {
        push_indented(&mut list, &item, &format!("{indent}- "), &format!("{indent}  "));
    }
    list.push_str("functionConfig:\n");
    push_indented(&mut list, CONFIG, "  ", "  ");
    list
}

fn push_indented(list: &mut String, text: &str, first: &str, rest: &str) {
    for (index, line) in text.lines().enumerate() {
        if !line.is_empty() {
            list.push_str(if index == 0 { first } else { rest });
        }
        list.push_str(line);
        list.push('\n');
    }
}

fn json(items: impl Iterator<Item = String>) -> Outcome<String> {
    let one = |text: &str| -> Outcome<String> {
        let value: Value = serde_yaml::from_str(text)?;
        Ok(value.to_string())
    };
    let items: Outcome<Vec<_>> = items.map(|item| one(&item)).collect();
    Ok(format!(
        "{{\"apiVersion\": \"config.kubernetes.io/v1\", \"kind\": \"ResourceList\", \"items\": [\n{}\n],\n\"functionConfig\": {}}}\n",
        items?.join(",\n"),
        one(CONFIG)?
    ))
}

/// An object of one of the kinds that fill a cluster's repository.
fn item(index: usize) -> String {
    match index % 10 {
        0 | 1 => deployment(index),
        2..=4 => config_map(index),
        5 => custom_resource_definition(index),
        6 | 7 => role(index),
        8 => service(index),
        _ => custom_resource(index),
    }
}

fn head(api_version: &str, kind: &str, index: usize) -> String {
    format!(
        "apiVersion: {api_version}
kind: {kind}
metadata:
  annotations:
    config.kubernetes.io/index: '{index}'
    config.kubernetes.io/path: 'team-{team}/app-{index}.yaml'
    internal.config.kubernetes.io/index: '{index}'
    internal.config.kubernetes.io/path: 'team-{team}/app-{index}.yaml'
    internal.config.kubernetes.io/seqindent: 'compact'
    internal.config.kubernetes.io/package-path: 'packages/team-{team}'
  labels:
    app.kubernetes.io/name: app-{index}
    app.kubernetes.io/managed-by: kustomize
    team: \"{team}\"
  name: app-{index}
  namespace: team-{team}
",
        team = index % 97
    )
}

fn deployment(index: usize) -> String {
    let mut text = head("apps/v1", "Deployment", index);
    text.push_str(&format!(
        "spec:
  replicas: {replicas}
  revisionHistoryLimit: 3
  selector:
    matchLabels:
      app.kubernetes.io/name: app-{index}
  template:
    metadata:
      annotations:
        checksum/config: {index:064x}
        prometheus.io/scrape: \"true\"
      labels:
        app.kubernetes.io/name: app-{index}
    spec:
      affinity:
        podAntiAffinity:
          preferredDuringSchedulingIgnoredDuringExecution:
          - podAffinityTerm:
              labelSelector:
                matchLabels:
                  app.kubernetes.io/name: app-{index}
              topologyKey: kubernetes.io/hostname
            weight: 100
      containers:
",
        replicas = index % 5
    ));
    for container in ["main", "proxy"] {
        text.push_str(&format!(
            "      - name: {container}
        image: registry.example.com/team/{container}:{index} # pinned by the team's bot
        command: [\"/bin/{container}\", \"--config\", \"/etc/{container}/config.yaml\"]
        env:
        - name: LEVEL
          value: \"info\"
        - name: POD_IP
          valueFrom:
            fieldRef:
              fieldPath: status.podIP
        ports:
        - containerPort: 8080
          name: http
        livenessProbe:
          httpGet: {{path: /healthz, port: http}}
          initialDelaySeconds: 10
        readinessProbe:
          httpGet:
            path: /readyz
            port: http
          periodSeconds: 5
        resources:
          limits:
            cpu: 500m
            memory: 256Mi
          requests: {{cpu: 50m, memory: 64Mi}}
        securityContext:
          allowPrivilegeEscalation: false
          capabilities:
            drop:
            - ALL
        volumeMounts:
        - mountPath: /etc/{container}
          name: config
          readOnly: true
"
        ));
    }
    text.push_str(&format!(
        "      serviceAccountName: app-{index}
      volumes:
      - configMap:
          name: app-{index}
        name: config
"
    ));
    text
}

fn config_map(index: usize) -> String {
    let mut text = head("v1", "ConfigMap", index);
    text.push_str(&format!(
        "data:
  LEVEL: \"info\"
  greeting: 'it''s \"{index}\"'
  config.yaml: |
    # the team's settings; don't edit here
    server:
      listen: \"0.0.0.0:8080\"
      hosts: [a.example.com, b.example.com]
"
    ));
    for route in 0..6 {
        text.push_str(&format!(
            "      - path: \"/api/v{route}/things/{{id}}\"
        upstream: http://backend-{route}.team.svc:8080
        note: \"don't retry\"

"
        ));
    }
    text.push_str("  run.sh: |\n    #!/bin/sh\n");
    for line in 0..8 {
        text.push_str(&format!(
            "    [ -f \"$DIR/{line}.env\" ] && . \"$DIR/{line}.env\" || echo 'no {line}, that'\"'\"'s fine'\n"
        ));
    }
    text
}

fn custom_resource_definition(index: usize) -> String {
    let mut text = head("apiextensions.k8s.io/v1", "CustomResourceDefinition", index);
    text.push_str(&format!(
        "spec:
  group: team.example.com
  names:
    kind: Thing{index}
    listKind: Thing{index}List
    plural: thing{index}s
    singular: thing{index}
  scope: Namespaced
  versions:
  - name: v1alpha1
    schema:
      openAPIV3Schema:
        description: A Thing is what the team's controller turns into a Deployment
        properties:
          spec:
            properties:
"
    ));
    for field in 0..11 {
        text.push_str(&format!(
            "              field{field}:
                description: |-
                  The field's value; it mustn't be longer than the API server's limit.

                  More info: \"https://example.com/docs#field{field}\"
                  [experimental] don't use it in {{production}}
                maxLength: {field}
                type: string
              name{field}:
                description: 'How the controller''s owner \"names\" it: a word, [a-z0-9]'
                items:
                  pattern: ^[a-z0-9]([-a-z0-9]*[a-z0-9])?$
                  type: string
                type: array
"
        ));
    }
    text.push_str(
        "            type: object
        type: object
    served: true
    storage: true
    subresources:
      status: {}
",
    );
    text
}

fn role(index: usize) -> String {
    let mut text = head("rbac.authorization.k8s.io/v1", "Role", index);
    text.push_str("rules:\n");
    for rule in 0..5 {
        text.push_str(&format!(
            "- apiGroups:
  - \"\"
  - group{rule}.example.com
  resources:
  - things
  - things/status
  resourceNames: ['thing-{rule}', \"thing-{index}\"]
  verbs:
  - get
  - list
  - patch
  - watch
"
        ));
    }
    text
}

fn service(index: usize) -> String {
    let mut text = head("v1", "Service", index);
    text.push_str(&format!(
        "spec:
  ports:
  - name: http
    port: 80
    targetPort: http
  selector:
    app.kubernetes.io/name: app-{index}
  type: ClusterIP
status:
  loadBalancer: {{}}
"
    ));
    text
}

fn custom_resource(index: usize) -> String {
    let mut text = head("argoproj.io/v1alpha1", "Application", index);
    text.push_str(&format!(
        "spec:
  destination:
    namespace: team
    server: https://kubernetes.default.svc
  ignoreDifferences:
  - group: apps
    jqPathExpressions:
    - .spec.template.spec.containers[].env[] | select(.name == \"LEVEL\")
    kind: Deployment
  project: default
  source:
    helm:
      values: |
        image: {{tag: \"{index}\"}}
        hosts: [\"a\", 'b']
    path: 'charts/app'
    repoURL: \"https://git.example.com/team/app.git\"
  syncPolicy:
    automated: {{prune: true, selfHeal: true}}
"
    ));
    text
}
