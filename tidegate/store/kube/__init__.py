"""Documents from a Kubernetes API server: list, then watch.

connection   requests, and as whom they are made (the only place that knows the client library)
kinds        which collections of objects are followed
shelf        which versions of its objects are known, so that old news does no harm (pure)
informer     follows one collection: lists, watches, starts again
source       all of them together, as one source of documents
"""
