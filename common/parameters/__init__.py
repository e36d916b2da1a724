"""The record of parameters that every port loads and dumps, and the layouts that
frameworks and files keep them in.
"""
