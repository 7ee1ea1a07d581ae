"""The coverage of a guest: which of its functions and basic blocks were reached, from repeating its executions."""
