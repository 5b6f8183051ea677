"""The search spaces as NNI model spaces, for any NNI strategy. Importing this package imports NNI."""

from search_spaces.attention import AttentionSearchSpace
from search_spaces.joint import JointSearchSpace
from search_spaces.operation import OperationSearchSpace

__all__ = ["AttentionSearchSpace", "JointSearchSpace", "OperationSearchSpace"]
