package sessiontest

import (
	"sync/atomic"
	"time"

	"github.com/axlehttp/axle/store"
)

// promised is the time within which Watch reports a change. A machine that is busy may need half as
// much again.
const promised = time.Second

func watchChanges(s *storage) {
	writer, reader := s.open(), s.open()
	reported := make(chan struct{}, 1)
	stop, err := reader.Watch(signalOn(reported))
	if err != nil {
		s.Fatalf("Watch: %v", err)
	}
	defer stop()

	changes := []struct {
		name   string
		change func()
	}{
		{"the first Save", func() { s.save(writer, nil, []byte("one")) }},
		{"a Save", func() { s.save(writer, []byte("one"), []byte("two")) }},
		{"a Save of as many bytes", func() { s.save(writer, []byte("two"), []byte("six")) }},
		{"a Delete", func() { s.delete(writer, []byte("six")) }},
		{"a Save after a Delete", func() { s.save(writer, nil, []byte("six")) }},
	}
	for _, c := range changes {
		// What is left of the change before does not count. Nothing tells that it was the last of it.
		for quiet := false; !quiet; {
			select {
			case <-reported:
			case <-time.After(shortly):
				quiet = true
			}
		}

		c.change()
		from := time.Now()
		select {
		case <-reported:
			if took := time.Since(from); took > promised+promised/2 {
				s.Errorf("Watch reported %s after %v, and a second is due", c.name, took)
			}
		case <-time.After(patience / 2):
			s.Fatalf("Watch has not reported %s of another Persister after %v", c.name, patience/2)
		}
	}
}

// signalOn returns a function that signals on a channel without waiting.
func signalOn(channel chan<- struct{}) func() {
	return func() {
		select {
		case channel <- struct{}{}:
		default:
		}
	}
}

func watchStopped(s *storage) {
	writer, reader := s.open(), s.open()
	var calls atomic.Int32
	reported := make(chan struct{}, 1)
	stop, err := reader.Watch(func() { calls.Add(1) })
	if err != nil {
		s.Fatalf("Watch: %v", err)
	}
	stopOther, err := reader.Watch(signalOn(reported))
	if err != nil {
		s.Fatalf("Watch: %v", err)
	}
	defer stopOther()

	// Stop comes right after a change, which is not reported yet.
	s.save(writer, nil, []byte("one"))
	stop()
	before := calls.Load()
	s.save(writer, []byte("one"), []byte("two"))
	stop()

	select {
	case <-reported:
	case <-time.After(patience / 2):
		s.Fatal("Watch does not report to one function after another one's stop")
	}

	// A report to the function that has stopped may be later, and nothing tells that there is none.
	time.Sleep(promised / 2)
	if after := calls.Load(); after > before {
		s.Errorf("Watch called the function %d times after stop had returned", after-before)
	}
}

func watchReturns(s *storage) {
	holder, p := s.open(), s.open()
	s.locked(holder, func() {
		for _, p := range []store.Persister{holder, p} {
			s.within(patience/2, "Watch beside a holder of the lock", func() error {
				stop, err := p.Watch(func() {})
				if err == nil {
					stop()
				}
				return err
			})
		}
	})
}
