"""The side of other machines: a model behind one HTTPS port, run by Ray Serve.

Ray stays on this machine's loopback. What others reach is a small server of our own, which asks
for a token before it reads anything; what is said there is in `photoramd.models.remote.protocol`.

Shows: `run.run`, `certificate.make`. Must not know: photos' files, keywords, the database, the
daemon, the command line. It is the only package that imports ray.
"""
