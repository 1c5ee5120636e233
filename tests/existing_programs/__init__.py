"""What programs do that were written for the standard library's `socketserver`, in the way that they do it.

Each test's docstring says what such programs do. What other tests show already is not repeated here.
"""
