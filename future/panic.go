package future

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// ErrGoexit is the Value of a [*PanicError] whose function did not panic, but called
// [runtime.Goexit]. The FailNow method of package testing does that, for example.
var ErrGoexit = errors.New("runtime.Goexit was called")

// PanicError is the rejection of a future whose function did not return.
type PanicError struct {
	Value any    // the argument of panic, or ErrGoexit
	Stack []byte // the goroutine's stack when it panicked, as debug.Stack formats it
}

// Error returns a text with the value and without the stack.
func (e *PanicError) Error() string {
	// A panic with an error that wraps ErrGoexit is a panic all the same.
	if e.Value == ErrGoexit { //nolint:errorlint // see above
		return "future: " + ErrGoexit.Error()
	}
	return fmt.Sprintf("future: panic: %v", e.Value)
}

// Unwrap returns Value if it is an error, else nil.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// run calls fn and then calls settle once with the outcome, however fn ends. It calls settle in a
// deferred function, because nothing else runs after a Goexit. It must have a goroutine to itself,
// since it recovers a panic.
func run[T any](fn func() (T, error), settle func(T, error)) {
	var (
		value    T
		err      error
		returned bool
	)
	defer func() {
		if !returned {
			// Even panic(nil) recovers as a non-nil value, a *runtime.PanicNilError. So nil is a
			// Goexit.
			cause := recover()
			if cause == nil {
				cause = ErrGoexit
			}
			err = &PanicError{Value: cause, Stack: debug.Stack()}
		}
		settle(value, err)
	}()

	value, err = fn()
	returned = true
}
