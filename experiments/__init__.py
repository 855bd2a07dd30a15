"""The experiments of this repository: trained, scored and reported by command."""
