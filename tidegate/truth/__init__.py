r"""The truth table: who reaches whom, as policy says and as packets find, and where the two differ.

documents -> cases -> prediction (the reference reads the documents)   \
                    \\---> stage, prober (real agent, namespaces, sockets)  -> table: both, and their difference
"""
