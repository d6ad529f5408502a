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
