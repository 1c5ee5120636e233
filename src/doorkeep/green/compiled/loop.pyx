# cython: language_level=3, boundscheck=False, wraparound=False, binding=False, auto_pickle=False
"""The hub and its channels, compiled. `doorkeep.green.pure.loop` says in Python what each does."""
# One module, so that each calls the other without a detour; a file each.
include "system.pxi"
include "hub.pxi"
include "waitable.pxi"
include "channel.pxi"

frame_stack_prepare()
