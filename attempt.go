package axle

import (
	"errors"
	"io"
	"sync"
)

// attempt is one reading of a rewinder, from its start.
type attempt struct {
	*rewinder
	by     reading
	at     int           // in record
	fresh  io.ReadCloser // this attempt's own reader, where the rewinder makes them
	closed chan struct{} // ends a wait for source; nil where this attempt does not read from there
	close  sync.Once
	stop   func() bool // ends the watch over the dispatch's context; nil: there is none
}

// reading is who reads an attempt.
type reading bool

const (
	byDispatch reading = false // a transport, which closes the attempt
	byHandler  reading = true  // a handler, or its reader that wraps the body: nobody closes it
)

var errTaken = errors.New("axle: a later attempt has taken over the request's body")

// Read reads one attempt's bytes.
func (a *attempt) Read(p []byte) (int, error) {
	b := a.rewinder
	if a.closed != nil {
		return a.readSource(p)
	}
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	switch {
	case !b.isCurrent(a):
		return 0, errTaken // also of a fresh reader: some share a buffer with the one before
	case a.fresh != nil:
		return a.fresh.Read(p)
	}
	return b.source.Read(p)
}

// readSource reads from the record, and waits for source where that ends. The wait ends when the attempt is closed: a transport that
// gives up must not hang on a pipe that its user writes to later.
func (a *attempt) readSource(p []byte) (int, error) {
	b := a.rewinder
	if len(p) == 0 {
		return 0, nil
	}
	for {
		b.mu.Lock()
		if b.current != a {
			b.mu.Unlock()
			return 0, errTaken
		}
		if a.at < len(b.record) {
			n := copy(p, b.record[a.at:])
			a.at += n
			b.mu.Unlock()
			return n, nil
		}
		if err := b.err; err != nil {
			b.mu.Unlock()
			return 0, err
		}
		if b.lost { // there is no replay that could want what comes now
			b.record = nil
			b.mu.Unlock()
			return b.source.Read(p)
		}
		filling := b.filling
		if filling == nil {
			filling = make(chan struct{})
			b.filling = filling
			go b.fill(b.room(len(p)))
		}
		b.mu.Unlock()
		select {
		case <-filling:
		case <-a.closed:
			return 0, errTaken
		}
	}
}

// room makes room for what is read next, at the end of the record. It is called under mu.
func (b *rewinder) room(most int) []byte {
	most = min(most, maxFill, max(cap(b.record), minFill))
	if cap(b.record)-len(b.record) < most {
		b.record = append(make([]byte, 0, min(4*cap(b.record)+most, ReplayLimit+maxFill)), b.record...)
	}
	return b.record[len(b.record) : len(b.record)+most]
}

// minFill and maxFill bound how much is asked of source in one read, in bytes: little at first, for most bodies are small.
const (
	minFill = 4 << 10
	maxFill = 32 << 10
)

// fill reads source, beside whoever waits for it.
func (b *rewinder) fill(into []byte) {
	n, err := 0, errors.New("axle: the body's reader did not return")
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.record = b.record[:len(b.record)+n]
		b.err = err
		b.lost = b.lost || len(b.record) > ReplayLimit
		close(b.filling)
		b.filling = nil
	}()
	n, err = b.source.Read(into)
}

// end ends a wait for source.
func (a *attempt) end() {
	if a.closed != nil {
		a.close.Do(func() { close(a.closed) })
	}
}

// abort ends a read that hangs when the dispatch's time is up: a transport waits for it.
func (a *attempt) abort() {
	a.end()
	b := a.rewinder
	b.mu.Lock()
	over := b.current == a && b.lost
	b.mu.Unlock()
	if over {
		b.release()
	}
}

// Close ends the attempt; it does not wait for a read that is under way. The source stays open until the call is over.
func (a *attempt) Close() error {
	if a.stop != nil {
		a.stop()
	}
	a.end()
	if a.fresh != nil {
		return a.fresh.Close()
	}
	b := a.rewinder
	b.mu.Lock()
	over := b.current == a && (b.finished || b.lost) // what is lost nobody reads again: closing it ends a read that hangs
	if b.current == a {
		b.current = nil
	}
	b.mu.Unlock()
	if over {
		b.release()
	}
	return nil
}
