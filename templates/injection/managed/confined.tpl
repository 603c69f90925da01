        securityContext:
          allowPrivilegeEscalation: false
          capabilities: { drop: [ALL] }
          privileged: false
          readOnlyRootFilesystem: true
          runAsNonRoot: true
