{{- /* What all pods of LIPE share. Takes root and account, the suffix of the service account. */}}
{{- define "lipe.pod" -}}
serviceAccountName: {{ include "lipe.name" .root }}-{{ .account }}
automountServiceAccountToken: false
enableServiceLinks: false
shareProcessNamespace: true # the sandbox's process reaps orphans, as an init does
securityContext: {{- include "lipe.podSecurity" 10001 | nindent 2 }}
{{- with .root.Values.images.pullSecrets }}
imagePullSecrets: {{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "lipe.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "lipe.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* The settings of a program. Takes root, settings, which replace the values of all programs, and metrics: whether
it serves some. */}}
{{- define "lipe.environment" -}}
{{- $values := .root.Values -}}
{{- $own := dict "LIPE_HEARTBEAT_FILE" "/tmp/heartbeat" -}}
{{- $_ := set $own "LIPE_S3_ENDPOINT_URL" ($values.storage.endpointUrl | default "http://s3:8333") -}}
{{- with $values.storage.publicEndpointUrl }}{{ $_ := set $own "LIPE_S3_PUBLIC_ENDPOINT_URL" . }}{{ end -}}
{{- if and .metrics $values.metrics.enabled -}}
{{- $_ := set $own "LIPE_METRICS_PORT" "9400" }}{{ $_ := set $own "LIPE_METRICS_HOST" "0.0.0.0" -}}
{{- end -}}
{{- range $name, $value := mergeOverwrite $own (deepCopy $values.settings) .settings }}
- name: {{ $name }}
  value: {{ include "lipe.text" $value | quote }}
{{- end }}
{{- end }}

{{- /* The volume of /run/secrets: files of the Secret, under the names that LIPE reads. Takes root and program. */}}
{{- define "lipe.secrets" -}}
{{- $secret := .root.Values.existingSecret -}}
{{- $of := eq .program "migrate" | ternary "lipe" .program -}}
name: secrets
projected:
  defaultMode: 0440
  sources:
    - secret:
        name: {{ $secret }}
        items:
          - {key: {{ $of }}_database_url, path: lipe_database_url}
          - {key: {{ $of }}_broker_url, path: lipe_broker_url}
          - {key: {{ has .program (list "api" "migrate") | ternary "lipe_key_pepper" "unused_pepper" }}, path: lipe_key_pepper}
          {{- if .root.Values.storage.accessKeys }}
          - {key: {{ $of }}_s3_access_key_id, path: lipe_s3_access_key_id}
          - {key: {{ $of }}_s3_secret_access_key, path: lipe_s3_secret_access_key}
          {{- end }}
          {{- if and .root.Values.metrics.enabled (ne .program "migrate") }}
          - {key: lipe_metrics_token, path: lipe_metrics_token}
          {{- end }}
          {{- if eq .program "migrate" }}
          {{- range list "api" "dispatcher" "webhooks" "worker" }}
          - {key: {{ . }}_database_url, path: {{ . }}_database_url}
          {{- end }}
          {{- end }}
          {{- if has .program (list "api" "worker") }}
          - {key: lipe_file_url_secret, path: lipe_file_url_secret}
          {{- if .root.Values.contentCredentials }}
          - {key: credentials_chain.pem, path: credentials_chain.pem}
          {{- if eq .program "worker" }}
          - {key: credentials_key.pem, path: credentials_key.pem}
          {{- end }}
          {{- end }}
          {{- end }}
    {{- if has .program (list "api" "worker") }}
    - secret:
        name: {{ $secret }}
        optional: true # a key that is missing leaves its setting empty
        items:
          - {key: lipe_policy_secret, path: lipe_policy_secret}
          - {key: lipe_watermark_key, path: lipe_watermark_key}
          {{- if eq .program "worker" }}
          - {key: lipe_prompt_writer_key, path: lipe_prompt_writer_key}
          {{- end }}
    {{- end }}
{{- end }}

{{- /* The settings that name the certificates of Content Credentials. Takes root and program. */}}
{{- define "lipe.credentials" -}}
{{- if .root.Values.contentCredentials -}}
LIPE_CREDENTIALS_CHAIN_FILE: /run/secrets/credentials_chain.pem
{{- if eq .program "worker" }}
LIPE_CREDENTIALS_KEY_FILE: /run/secrets/credentials_key.pem
{{- end }}
{{- else }}{}{{ end }}
{{- end }}

{{- define "lipe.secretsMount" -}}
{name: secrets, mountPath: /run/secrets, readOnly: true}
{{- end }}

{{- define "lipe.tmp" -}}
{name: tmp, emptyDir: {medium: Memory, sizeLimit: {{ . }}}}
{{- end }}

{{- /* A program touches the file in its loop; a worker does so only while it is connected to the broker. */}}
{{- define "lipe.heartbeat" -}}
exec: {command: [sh, -c, "find /tmp/heartbeat -mmin -1 | grep -q ."]}
periodSeconds: 10
timeoutSeconds: 10
{{- end }}

{{- define "lipe.metricsPort" -}}
{{- if .Values.metrics.enabled }}
- {name: metrics, containerPort: 9400}
{{- end }}
{{- end }}
