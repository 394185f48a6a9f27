"""How the tables came to be what they are: one module in ``versions`` for each version, run by `fusion_server.schema`.

A version that was released is never edited; the next one is added.
"""
