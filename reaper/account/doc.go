// Package account looks up who a process is to run as, in /etc/passwd and
// /etc/group of the container.
//
// It promises docker's reading of a user: a name, or a number that needs no
// account; its supplementary groups, unless a group is given. It asks nothing but
// these two files (where the C library is not asked, as in the release build), and
// sets nothing.
//
// The caller sets HOME, USER and LOGNAME from what it finds.
package account
