{{- /* Of the root and the labels: what the Job runs. */}}
{{- define "service.migrationPod" -}}
{{- $root := .root }}
{{- $labels := .labels }}
{{- with $root.Values.migration -}}
metadata:
  labels: {{ toYaml $labels | nindent 4 }}
spec:
  restartPolicy: Never # a pod that failed stays, with its log
  automountServiceAccountToken: false
  enableServiceLinks: false
  securityContext: {{ include "service.podSecurity" $root | nindent 4 }}
  {{- with $root.Values.imagePullSecrets }}
  imagePullSecrets: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- $last := sub (len .steps) 1 | int }}
  {{- if gt $last 0 }}
  initContainers:
  {{- end }}
  {{- range $i, $step := .steps }}
  {{- if eq $i $last }}
  containers:
  {{- end }}
    - name: {{ join "-" $step }}
      image: {{ include "service.image" $root | quote }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      command: {{ prepend $step "ordersctl" | toJson }}
      {{- with $root.Values.migration }}
      env:
        {{- range $key, $value := .env }}
        - { name: {{ $key }}, value: {{ $value | quote }} }
        {{- end }}
        {{- include "service.secretEnv" (dict "env" .env "secretEnv" .secretEnv) | nindent 8 }}
      {{- with include "service.certificateMounts" .certificates }}
      volumeMounts: {{ . | nindent 8 }}
      {{- end }}
      {{- end }}
      resources:
        requests: { cpu: 50m, memory: 128Mi }
        limits: { cpu: "1", memory: 256Mi }
      securityContext: {{ include "service.containerSecurity" $root | nindent 8 }}
  {{- end }}
  {{- with include "service.certificateVolumes" .certificates }}
  volumes: {{ . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}
