{{- define "evercertd.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "evercertd.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "evercertd.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The name of every object of spiffe-csi. */}}
{{- define "evercertd.csiName" -}}
{{- printf "%s-csi" (include "evercertd.fullname" . | trunc 59 | trimSuffix "-") -}}
{{- end -}}

{{- define "evercertd.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "evercertd.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "evercertd.selectorLabelsOf" -}}
app.kubernetes.io/name: {{ include "evercertd.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* The labels that select the daemon's pods; they must never change for a release. */}}
{{- define "evercertd.selectorLabels" -}}
{{- include "evercertd.selectorLabelsOf" (dict "root" . "component" "daemon") -}}
{{- end -}}

{{/* The labels that select the pods of the CSI driver. */}}
{{- define "evercertd.csiSelectorLabels" -}}
{{- include "evercertd.selectorLabelsOf" (dict "root" . "component" "csi") -}}
{{- end -}}

{{/* The labels of an object. */}}
{{- define "evercertd.labels" -}}
{{- $own := dict
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/version" (.Chart.AppVersion | replace "+" "_" | trunc 63)
  "app.kubernetes.io/managed-by" .Release.Service
-}}
{{- toYaml (merge (include "evercertd.selectorLabels" . | fromYaml) $own .Values.commonLabels) -}}
{{- end -}}

{{- define "evercertd.csiLabels" -}}
{{- toYaml (merge (include "evercertd.csiSelectorLabels" . | fromYaml) (include "evercertd.labels" . | fromYaml)) -}}
{{- end -}}

{{/* An image, by its values and the tag that is taken where they name none. */}}
{{- define "evercertd.image" -}}
{{- $image := .image -}}
{{- $repository := $image.repository -}}
{{- if $image.registry -}}{{- $repository = printf "%s/%s" $image.registry $image.repository -}}{{- end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .tag $image.tag) -}}
{{- end -}}
{{- end -}}

{{/* The port that answers probes: an own one where the other speaks TLS. */}}
{{- define "evercertd.probesPort" -}}
{{- ternary "probes" "metrics" .Values.http.tls.enabled -}}
{{- end -}}

{{/* Whether it sees the processes of the node. */}}
{{- define "evercertd.hostPID" -}}
{{- or (eq .Values.mode "publisher") .Values.hostPID -}}
{{- end -}}

{{- define "evercertd.capabilities" -}}
{{- $own := list "DAC_READ_SEARCH" -}}
{{- if eq .Values.mode "publisher" -}}{{- $own = append $own "SYS_PTRACE" -}}{{- end -}}
{{- $own | toJson -}}
{{- end -}}

{{- define "evercertd.securityContext" -}}
{{- $given := .Values.securityContext | deepCopy -}}
{{- $capabilities := dig "capabilities" (dict) $given -}}
{{- $add := concat (include "evercertd.capabilities" . | fromJsonArray) (default (list) $capabilities.add) | uniq -}}
{{- $own := dict
  "runAsUser" 0
  "runAsGroup" 0
  "allowPrivilegeEscalation" false
  "readOnlyRootFilesystem" true
  "seccompProfile" (dict "type" "RuntimeDefault")
-}}
{{- $context := mergeOverwrite $own $given (dict "capabilities" (dict "drop" (list "ALL") "add" $add)) -}}
{{- toYaml $context -}}
{{- end -}}

{{/* The context in which the daemon reaches volumes of every pod where SELinux is enforced. */}}
{{- define "evercertd.seLinuxOptions" -}}
{{- toYaml (dict "type" .Values.seLinux.type "level" .Values.seLinux.level) -}}
{{- end -}}

{{- define "evercertd.podSecurityContext" -}}
{{- $context := deepCopy .Values.podSecurityContext -}}
{{- if .Values.seLinux.enabled -}}
{{- $context = merge $context (dict "seLinuxOptions" (include "evercertd.seLinuxOptions" . | fromYaml)) -}}
{{- end -}}
{{- if $context -}}{{- toYaml $context -}}{{- end -}}
{{- end -}}

{{/* The nodes, the priority and the pull secrets of every DaemonSet of the release. */}}
{{- define "evercertd.placement" -}}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "evercertd.updateStrategy" -}}
type: {{ .Values.updateStrategy.type }}
{{- if eq .Values.updateStrategy.type "RollingUpdate" }}
rollingUpdate:
  {{- toYaml .Values.updateStrategy.rollingUpdate | nindent 2 }}
{{- end }}
{{- end -}}
