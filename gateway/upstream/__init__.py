"""The upstream wire: connections to origins, pools of them, and the choice between endpoints."""
