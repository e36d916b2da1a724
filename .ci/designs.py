"""Write the rows of the contract anew, after a change of its factors or rules. Takes ten seconds."""

from trigru.common.equality.contract.designs import write_designs

if __name__ == "__main__":
    write_designs()
