"""An embedded, single-machine Kubernetes API: Jobs and Pods for one developer's computer.

It speaks the subset of the Kubernetes REST API that the suite (and ``kubectl``) uses, runs the Job controller,
a scheduler and a kubelet in one small process, and starts each container's command through a runtime.
Decisions are pure (``jobs``, ``scheduler``, ``pod_lifecycle``); what touches files, sockets and processes
stands around them.
"""
