"""Components and modules, their instances and resources, and the backend that runs them in this process."""
