"""Find files that do to photoramd what no file may do."""
