// Package axletest holds the helpers that more than one test package of this module needs: clients
// over a network in memory or on the loopback interface, short ways to add handlers, and bodies that
// a test watches.
//
// Only tests import it. A helper that one package alone needs stays in that package.
package axletest
