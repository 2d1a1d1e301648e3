"""The service: answers for faces over HTTP; needs the extra `serve`."""
