// Package sessionkit proves store/sessiontest by what others have written: the token caches of five
// libraries, as sessions. The kit must name each fault that is known of them, and no other one.
//
// Each cache runs in a child process, since a panic in a transport ends the process of some.
package sessionkit
