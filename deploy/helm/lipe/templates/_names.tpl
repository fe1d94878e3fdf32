{{- define "lipe.name" -}}
{{- if contains "lipe" .Release.Name }}{{ .Release.Name | trunc 30 | trimSuffix "-" }}{{ else }}{{ printf "%s-lipe" .Release.Name | trunc 30 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- /* Labels of an object. Takes root and component. */}}
{{- define "lipe.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{ include "lipe.selector" . }}
{{- end }}

{{- /* Labels that select the pods of a component. */}}
{{- define "lipe.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "lipe.image" -}}
{{- $images := .root.Values.images -}}
{{- if $images.registry }}{{ $images.registry }}/{{ end }}{{ .image }}:{{ $images.tag | default .root.Chart.AppVersion }}
{{- end }}

{{- /* A number or text as the text of an environment variable: a large integer has no exponent. */}}
{{- define "lipe.text" -}}
{{- if kindIs "float64" . }}{{ if eq (floor .) . }}{{ printf "%.0f" . }}{{ else }}{{ printf "%v" . }}{{ end }}{{ else }}{{ printf "%v" . }}{{ end }}
{{- end }}

{{- define "lipe.workerName" -}}
{{ include "lipe.name" .root }}-worker-{{ .pool.name }}
{{- end }}
