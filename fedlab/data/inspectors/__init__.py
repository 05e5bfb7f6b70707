"""What a user's files hold, one file each kind of data, named after what it registers.

The contract is :class:`fedlab.data.inspection.Inspector`.
"""
