#!/bin/sh
# Runs govulncheck. Where the vulnerability database cannot be reached it says
# so and passes, unless HULL_VULN_REQUIRED=1 asks for a real answer.
set -u
out=$("$1" ./... 2>&1)
code=$?
printf '%s\n' "$out"
[ $code -eq 0 ] && exit 0
case $out in
*"vuln.go.dev"*)
	if [ "${HULL_VULN_REQUIRED:-}" != 1 ]; then
		echo "vuln: the vulnerability database cannot be reached from here; nothing was checked"
		exit 0
	fi
	;;
esac
exit $code
