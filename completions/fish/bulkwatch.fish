# fish completion of bulkwatch, which itself says what may come next

function __bulkwatch_complete
	set -l words (commandline -opc)
	set -l current "$(commandline -ct)"
	set -e words[1]
	set -l lines (bulkwatch completion fish -- $words $current 2>/dev/null)
	set -l option (string match -r -- '^--[a-z-]+=' $current)
	set -l value (string replace -r -- '^--[a-z-]+=' '' $current)
	switch "$lines[1]"
		case files
			__fish_complete_path $value | string replace -r -- '^' "$option"
		case directories
			__fish_complete_directories $value '' | string replace -r -- '^' "$option"
		case commands
			__fish_complete_command
		case words
			printf '%s\n' $lines[2..-1]
	end
end

complete -c bulkwatch -f -a '(__bulkwatch_complete)'
