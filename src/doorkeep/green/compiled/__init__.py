"""The hub and its streams in Cython: what `doorkeep.green.pure` is, made fast. Needs a C compiler and epoll(7)."""
