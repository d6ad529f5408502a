{{- define "control-plane.name" -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- end -}}

{{- define "control-plane.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "control-plane.labels" -}}
{{ include "control-plane.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- /* The settings file. Those of `settings` win over the ones of the chart. */ -}}
{{- define "control-plane.settings" -}}
{{- $settings := dict
  "account" .Values.account
  "region" .Values.region
  "api" "0.0.0.0:8443"
  "api-tls-cert" "/etc/meshwarden/tls/tls.crt"
  "api-tls-key" "/etc/meshwarden/tls/tls.key"
  "api-auth" .Values.api.auth
  "xds" (list "0.0.0.0:18000,auth=mtls")
  "xds-tls-cert" "/etc/meshwarden/tls/tls.crt"
  "xds-tls-key" "/etc/meshwarden/tls/tls.key"
  "xds-client-ca" "/etc/meshwarden/tls/ca.crt"
  "metrics" "0.0.0.0:9102"
  "log-format" "json"
-}}
{{- if eq .Values.store.kind "dynamodb" }}
{{- $_ := set $settings "store" (printf "dynamodb:%s" .Values.store.table) }}
{{- $_ := set $settings "role" "replica" }}
{{- else if eq .Values.store.kind "etcd" }}
{{- $_ := set $settings "store" (printf "etcd:%s" (join "," .Values.store.endpoints)) }}
{{- $_ := set $settings "role" "replica" }}
{{- end }}
{{- if eq .Values.api.auth "sts" }}
{{- $_ := set $settings "auth-audience" .Values.api.audience }}
{{- $_ := set $settings "allow-role" .Values.api.allowRoles }}
{{- else }}
{{- $_ := set $settings "api-keys" "/etc/meshwarden/keys/keys.json" }}
{{- end }}
{{- merge (deepCopy .Values.settings) $settings | toPrettyJson }}
{{- end -}}

{{- define "control-plane.kubernetes.name" -}}
{{ include "control-plane.name" . }}-kubernetes
{{- end -}}

{{- /* Other labels than those of the control plane: its Services and policies must not select these pods. */ -}}
{{- define "control-plane.kubernetes.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}-kubernetes
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "control-plane.kubernetes.labels" -}}
{{ include "control-plane.kubernetes.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- /* The members that all webhooks share. */ -}}
{{- define "control-plane.kubernetes.webhook" }}
    admissionReviewVersions: [v1]
    sideEffects: None
    matchPolicy: Equivalent
    timeoutSeconds: 10
    failurePolicy: {{ .root.Values.kubernetes.webhook.failurePolicy }}
    clientConfig:
      {{- with .root.Values.kubernetes.webhook.caBundle }}
      caBundle: {{ . }}
      {{- end }}
      service:
        name: {{ include "control-plane.kubernetes.name" .root }}
        namespace: {{ .root.Release.Namespace }}
        path: {{ .path }}
        port: 443
{{- end }}
{{- define "control-plane.kubernetes.objects" }}
    # A webhook that is not available must not refuse its own pods. A mesh has no namespace, so this does not concern it.
    namespaceSelector:
      matchExpressions:
        - { key: kubernetes.io/metadata.name, operator: NotIn, values: [{{ .Release.Namespace }}] }
    rules:
      - apiGroups: [appmesh.k8s.aws]
        apiVersions: [v1beta2]
        operations: [CREATE, UPDATE]
        resources: [meshes, virtualnodes, virtualrouters, virtualservices, virtualgateways, gatewayroutes, backendgroups]
        scope: "*"
{{- end }}
