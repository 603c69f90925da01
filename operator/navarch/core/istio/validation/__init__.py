"""What Istio's own readers refuse, in our words: what would be found out at istiod's next start, or in a pod.

Owns the rules of pkg/config/validation/agent (mesh configuration, proxies, networks, extension providers), of
the injector and of the agent that captures traffic, of Istio's log levels, and the types of environment
variables. Must never read anything but the value it is given. Invariant (tests/upstream): what Istio's own
readers refuse is refused here.
"""
