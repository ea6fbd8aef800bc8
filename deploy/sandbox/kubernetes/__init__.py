"""A Kubernetes cluster in one event loop: the API's real paths and verbs, a scheduler, kubelets, controllers."""
