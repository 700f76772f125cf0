package future

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// ErrGoexit is the Value of a [*PanicError] whose function called [runtime.Goexit] (as testing's FailNow does)
// instead of panicking.
var ErrGoexit = errors.New("runtime.Goexit was called")

// PanicError is the rejection of a future whose function did not return.
type PanicError struct {
	Value any    // what panic was given, or ErrGoexit
	Stack []byte // the goroutine's stack at that moment, as debug.Stack formats it
}

// Error mentions the value, never the stack.
func (e *PanicError) Error() string {
	if e.Value == ErrGoexit { //nolint:errorlint // a panic with an error that wraps it is a panic all the same
		return "future: " + ErrGoexit.Error()
	}
	return fmt.Sprintf("future: panic: %v", e.Value)
}

// Unwrap returns Value if it is an error, else nil.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// run calls fn and gives settle its outcome, exactly once, however fn ends. It settles in a deferred call because
// nothing else runs after a Goexit. The goroutine is run's own: it swallows a panic.
func run[T any](fn func() (T, error), settle func(T, error)) {
	var (
		value    T
		err      error
		returned bool
	)
	defer func() {
		if !returned {
			cause := recover()
			if cause == nil { // panic(nil) recovers as a *runtime.PanicNilError
				cause = ErrGoexit
			}
			err = &PanicError{Value: cause, Stack: debug.Stack()}
		}
		settle(value, err)
	}()
	value, err = fn()
	returned = true
}
