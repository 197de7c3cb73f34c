{{- define "redoxworker.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "redoxworker.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- /* Labels of an object: (dict "root" $ "name" NAME). The name is what selectors ask for. */ -}}
{{- define "redoxworker.labels" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- /* Labels and annotations of a pod. A changed configuration is rolled out. */ -}}
{{- define "redoxworker.podMetadata" -}}
labels:
  app.kubernetes.io/name: {{ .name }}
  {{- with .root.Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  kubectl.kubernetes.io/default-container: {{ .container }}
  checksum/config: {{ include "redoxworker.config" .root | sha256sum }}
  {{- with .root.Values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- /* What every pod has: (dict "root" $ "name" NAME). */ -}}
{{- define "redoxworker.pod" -}}
serviceAccountName: {{ .name }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  # The group of the files of the secret: without it only root could read them.
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
volumes:
  - name: config
    configMap: {name: {{ include "redoxworker.fullname" .root }}}
  - name: secrets
    secret: {secretName: {{ .secret }}, defaultMode: 0440}
{{- end -}}

{{- /* What every container has. */ -}}
{{- define "redoxworker.container" -}}
image: {{ include "redoxworker.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
volumeMounts:
  - {name: config, mountPath: /etc/redoxworker/config, readOnly: true}
  # Secrets are files of a directory that Kubernetes keeps up to date: a key that is rotated
  # there is in use without a restart.
  - {name: secrets, mountPath: /etc/redoxworker/secrets, readOnly: true}
{{- end -}}

{{- /* Pods are spread over a topology, where that can be. */ -}}
{{- define "redoxworker.spread" -}}
- maxSkew: 1
  topologyKey: {{ .over }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector: {matchLabels: {app.kubernetes.io/name: {{ .name }}}}
{{- end -}}

{{- define "redoxworker.egressDNS" -}}
- to:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ .Values.networkPolicy.dns.namespace }}}}
      podSelector:
        matchLabels:
          {{- toYaml .Values.networkPolicy.dns.podLabels | nindent 10 }}
  ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- end -}}

{{- define "redoxworker.egressNATS" -}}
- to:
    - podSelector:
        matchLabels:
          {{- toYaml .Values.networkPolicy.nats.podLabels | nindent 10 }}
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ .Values.networkPolicy.nats.namespace }}}}
  ports:
    - {port: {{ .Values.networkPolicy.nats.port }}}
{{- end -}}

{{- /* More egress of a pod, without which it could not do what is configured: (dict "root" $ "of" POD "what" PATH "needs" BOOL). */ -}}
{{- define "redoxworker.egress" -}}
{{- $rules := get .root.Values.networkPolicy.egress .of -}}
{{- if and .needs (not $rules) -}}
{{- fail (printf "%s wants what the network policy lets no %s reach: add its address to networkPolicy.egress.%s" .what .of .of) -}}
{{- end -}}
{{- with $rules }}{{ toYaml . }}{{ end -}}
{{- end -}}

{{- define "redoxworker.env" -}}
{{- include "redoxworker.refuseSecrets" (dict "at" "env" "key" "" "of" .Values.env) -}}
{{- range $name, $value := .Values.env }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end -}}
{{- end -}}

{{- /* GOMEMLIMIT, below the limit of memory: (dict "at" PATH "of" VALUES). */ -}}
{{- define "redoxworker.memory" -}}
{{- if ge (include "redoxworker.bytes" .of.goMemLimit | float64) (include "redoxworker.bytes" .of.resources.limits.memory | float64) -}}
{{- fail (printf "%s.goMemLimit (%s) is not below %s.resources.limits.memory (%v): set nine tenths of it" .at .of.goMemLimit .at .of.resources.limits.memory) -}}
{{- end -}}
{{- .of.goMemLimit -}}
{{- end -}}

{{- /* Bytes of a size such as 1280Mi, 1.5G or 1150MiB. */ -}}
{{- define "redoxworker.bytes" -}}
{{- if kindIs "string" . -}}
{{- $units := dict "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- mulf (regexFind "^[0-9.]+" .) (dig (regexFind "[kMGTKi]*$" (trimSuffix "B" .)) 1 $units) -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{- /* Refuses a secret among values, of whatever type: (dict "at" PATH "key" KEY "of" VALUE). */ -}}
{{- define "redoxworker.refuseSecrets" -}}
{{- $at := .at -}}
{{- $key := .key -}}
{{- if kindIs "map" .of -}}
{{- range $name, $value := .of -}}
{{- include "redoxworker.refuseSecrets" (dict "at" (printf "%s.%s" $at $name) "key" (splitList "." (lower $name) | last) "of" $value) -}}
{{- end -}}
{{- else if and (ne (toString .of) "") (has $key (list "password" "token" "creds" "nkey" "private_key" "api_key" "secret" "client_secret" "session_key" "dsn")) -}}
{{- fail (printf "%s would be in a ConfigMap, for all to read: put it into a file of the secret, and set %s_file to its path" $at $at) -}}
{{- else if kindIs "slice" .of -}}
{{- range .of -}}
{{- include "redoxworker.refuseSecrets" (dict "at" $at "key" $key "of" .) -}}
{{- end -}}
{{- else if or (regexMatch "//[^/]*@" (toString .of)) (and (hasSuffix "url" $key) (regexMatch "(^|,)[^/]*@" (toString .of))) -}}
{{- fail (printf "%s holds a password or a token, for all to read: take it out of the address; for NATS set user and password_file" $at) -}}
{{- end -}}
{{- end -}}

{{- /* Seconds of a duration such as 1m30s. */ -}}
{{- define "redoxworker.seconds" -}}
{{- $all := 0 -}}
{{- range regexFindAll "[0-9.]+(h|ms|m|s)" . -1 -}}
{{- $all = addf $all (mulf (regexFind "[0-9.]+" .) (get (dict "h" 3600 "m" 60 "s" 1 "ms" 0.001) (regexFind "[a-z]+" .))) -}}
{{- end -}}
{{- $all -}}
{{- end -}}

{{- define "redoxworker.config" -}}
{{- include "redoxworker.refuseSecrets" (dict "at" "config" "key" "" "of" .Values.config) -}}
{{- $drain := dig "drain_timeout" "30s" (default dict .Values.config.worker) | toString -}}
{{- if gt (addf (include "redoxworker.seconds" $drain) 15) (float64 .Values.worker.terminationGracePeriodSeconds) -}}
{{- fail (printf "worker.terminationGracePeriodSeconds (%v) is less than config.worker.drain_timeout (%s) and 15 s" .Values.worker.terminationGracePeriodSeconds $drain) -}}
{{- end -}}
{{- toYaml .Values.config -}}
{{- end -}}
