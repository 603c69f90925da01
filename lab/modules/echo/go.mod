module lab.navarch.dev/echo

go 1.26.0
