{{- define "service.selector" -}}
app.kubernetes.io/name: {{ .Release.Name }}
{{- end }}

{{- define "service.labels" -}}
{{ include "service.selector" . }}
app.kubernetes.io/part-of: orders
{{- end }}

{{- define "service.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag }}{{ end }}
{{- end }}
{{- end }}

{{- /* What the drain needs, in seconds: the app's own limits and a margin. */}}
{{- define "service.drainSeconds" -}}
{{- $ms := add (int (get .Values.env "DRAIN_DELAY_MS" | default 0)) (int .Values.env.SHUTDOWN_TIMEOUT_MS) -}}
{{ add 5 (ceil (divf $ms 1000)) }}
{{- end }}

{{- define "service.gracePeriod" -}}
{{- $needed := int (include "service.drainSeconds" .) -}}
{{- $given := int .Values.terminationGracePeriodSeconds -}}
{{- if and $given (lt $given $needed) -}}
{{- fail (printf "terminationGracePeriodSeconds is %d, but the drain needs %d: DRAIN_DELAY_MS + SHUTDOWN_TIMEOUT_MS and 5 s more" $given $needed) -}}
{{- end -}}
{{ $given | default $needed }}
{{- end }}

{{- define "service.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "service.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{- /* Of { env, secretEnv }; a name in both would be two entries, of which one wins silently. */}}
{{- define "service.secretEnv" -}}
{{- range $name, $from := .secretEnv }}
{{- if hasKey $.env $name }}{{ fail (printf "%s is in env and in secretEnv: leave it out of one of them" $name) }}{{ end }}
- name: {{ $name }}
  valueFrom: { secretKeyRef: { name: {{ $from.secret }}, key: {{ $from.key }} } }
{{- end }}
{{- end }}

{{- define "service.certificateMounts" -}}
{{- range $name, $_ := . }}
- { name: {{ $name }}, mountPath: /etc/orders/{{ $name }}, readOnly: true }
{{- end }}
{{- end }}

{{- define "service.certificateVolumes" -}}
{{- range $name, $from := . }}
- name: {{ $name }}
  {{- if $from.configMap }}
  configMap: { name: {{ $from.configMap }}, items: [{ key: ca.crt, path: ca.crt }] }
  {{- else }}
  secret: { secretName: {{ $from.secret }}, items: [{ key: ca.crt, path: ca.crt }] }
  {{- end }}
{{- end }}
{{- end }}

{{- /* Of a list of peers and a port's name. */}}
{{- define "service.egress" -}}
- to: {{ toYaml .dns | nindent 4 }}
  ports:
    - { protocol: UDP, port: 53 }
    - { protocol: TCP, port: 53 }
{{- range $name, $rule := .egress }}
- to: {{ toYaml $rule.peers | nindent 4 }}
  ports: [{ protocol: TCP, port: {{ $rule.port }} }]
{{- end }}
{{- end }}
