"""A Kubernetes node of real processes: kubelet, containerd, CNI and kube-proxy included. Linux and root
only.

Everything runs below one process (init) in mount, process and network namespaces of its own, so the kernel
itself takes away what a lab started, mounted or connected when that process ends. Outside there are only a
state directory, cgroups, one relay process and one system setting (host); `cluster.leftovers` looks for all
of them.
"""
