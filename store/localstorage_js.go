package store

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall/js"
)

func newLocalStorage(key string) Persister { return &localStorage{key: key} }

type localStorage struct{ key string }

// items returns the localStorage of the page. A page that may have none, such as one whose cookies are
// blocked, throws an exception. Get would end the program by it, and Call makes it a panic.
func items() js.Value {
	return js.Global().Get("Reflect").Call("get", js.Global(), "localStorage")
}

// Load implements Persister.
func (l *localStorage) Load(ctx context.Context) (data []byte, err error) {
	defer recoverJS(&err)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	item := items().Call("getItem", l.key)
	if item.IsNull() {
		return nil, nil
	}

	data, err = base64.StdEncoding.DecodeString(item.String())
	if err != nil {
		return nil, fmt.Errorf("%w: the item %q of localStorage is not one of axle's", ErrForeign, l.key)
	}
	return data, nil
}

// Save implements Persister.
func (l *localStorage) Save(ctx context.Context, old, data []byte) (err error) {
	defer recoverJS(&err)
	if err := l.compare(ctx, old); err != nil {
		return err
	}
	items().Call("setItem", l.key, base64.StdEncoding.EncodeToString(data))
	inPage.changed(l.key)
	return nil
}

// Delete implements Persister.
func (l *localStorage) Delete(ctx context.Context, old []byte) (err error) {
	defer recoverJS(&err)
	if err := l.compare(ctx, old); err != nil || old == nil {
		return err
	}
	items().Call("removeItem", l.key)
	inPage.changed(l.key)
	return nil
}

// compare returns an error if something else than old is saved. Nobody changes the item between the
// comparison and the change, since the lock is held.
func (l *localStorage) compare(ctx context.Context, old []byte) error {
	saved, err := l.Load(ctx)
	if err == nil && (!bytes.Equal(saved, old) || (saved == nil) != (old == nil)) {
		err = ErrConflict
	}
	return err
}

// Lock implements Persister. A page that the user has left neither keeps the lock nor waits for it,
// since the browser may keep the page, stopped, for a way back. Such a wait goes on when the user
// comes back.
func (l *localStorage) Lock(ctx context.Context) (lock Lock, err error) {
	defer recoverJS(&err)
	locks, err := webLocks()
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	for {
		w := request(locks, "axle session "+l.key)
		if err := w.await(ctx); err == nil {
			return w, nil
		} else if !errors.Is(err, errLeft) {
			w.free()
			return nil, fmt.Errorf("%w (the Web Lock of %q)", err, l.key)
		}

		select {
		case <-w.shown:
			w.free()
		case <-ctx.Done():
			w.free()
			return nil, fmt.Errorf("%w (the page was left before it had the Web Lock of %q)", ErrBusy, l.key)
		}
	}
}

// webLocks returns the LockManager of the page.
func webLocks() (js.Value, error) {
	locks := js.Global().Get("navigator").Get("locks")
	if locks.IsUndefined() {
		return locks, errors.New("store: the browser has no Web Locks here: " +
			"the page needs https, or to be on localhost")
	}
	return locks, nil
}

// webLock is a Web Lock that is held, or is asked for. Its functions are called by the browser, one
// at a time.
type webLock struct {
	granted chan struct{}
	ended   chan struct{} // the lock is released, or was refused
	shown   chan struct{} // the user has come back to the page
	left    atomic.Bool   // the user has left the page, and the lock is not held any more
	refusal error         // is set before ended

	abort     js.Value // an AbortController for the time before the lock is granted
	release   js.Value // resolves the promise that holds the lock
	hide      js.Func
	show      js.Func
	functions []js.Func
}

// request asks for a lock.
func request(locks js.Value, name string) *webLock {
	w := &webLock{granted: make(chan struct{}), ended: make(chan struct{}), shown: make(chan struct{})}

	// The browser holds the lock for as long as the promise that granted returns is pending.
	executor := w.function(func(args []js.Value) any {
		w.release = args[0]
		return nil
	})
	granted := w.function(func([]js.Value) any {
		pending := js.Global().Get("Promise").New(executor)
		close(w.granted)
		return pending
	})
	end := w.function(func([]js.Value) any {
		close(w.ended)
		return nil
	})
	refuse := w.function(func(args []js.Value) any {
		w.refusal = fmt.Errorf("store: the browser refused the Web Lock: %w", named(js.Error{Value: args[0]}))
		close(w.ended)
		return nil
	})

	w.hide = w.function(func([]js.Value) any {
		w.leave()
		return nil
	})
	show := sync.OnceFunc(func() { close(w.shown) })
	w.show = w.function(func([]js.Value) any {
		if w.left.Load() {
			show()
		}
		return nil
	})
	js.Global().Call("addEventListener", "pagehide", w.hide)
	js.Global().Call("addEventListener", "pageshow", w.show)

	w.abort = js.Global().Get("AbortController").New()
	options := map[string]any{"signal": w.abort.Get("signal")}
	locks.Call("request", name, options, granted).Call("then", end, refuse)
	return w
}

func (w *webLock) function(call func(args []js.Value) any) js.Func {
	f := js.FuncOf(func(_ js.Value, args []js.Value) any { return call(args) })
	w.functions = append(w.functions, f)
	return f
}

// errLeft says that the user has left the page, and that the lock is not this page's any more.
var errLeft = errors.New("store: the page was left, and its Web Lock is free")

// await waits for the lock.
func (w *webLock) await(ctx context.Context) error {
	done := ctx.Done()
	for {
		select {
		case <-w.granted:
			return nil
		case <-w.ended:
		case <-done:
			// The lock may be granted in the same moment.
			w.abort.Call("abort")
			done = nil
			continue
		}

		switch {
		case w.left.Load():
			return errLeft
		case ctx.Err() != nil:
			return ErrBusy
		}
		return w.refusal
	}
}

// leave gives the lock up, or the wait for it.
func (w *webLock) leave() {
	w.left.Store(true)
	if !w.release.IsUndefined() {
		w.release.Invoke()
		return
	}
	w.abort.Call("abort")
}

// Held implements Lock.
func (w *webLock) Held() error {
	if w.left.Load() {
		return errLeft
	}
	return nil
}

// Unlock implements Lock.
func (w *webLock) Unlock() error {
	w.release.Invoke()
	<-w.ended
	w.free()
	return nil
}

func (w *webLock) free() {
	js.Global().Call("removeEventListener", "pagehide", w.hide)
	js.Global().Call("removeEventListener", "pageshow", w.show)
	for _, f := range w.functions {
		f.Release()
	}
}

// Watch implements Persister. The browser tells a tab of the changes that other tabs make. A page that
// the user has left, and that the browser keeps for a way back, is told when the user is back.
func (l *localStorage) Watch(changed func()) (stop func(), err error) {
	defer recoverJS(&err)
	if _, err := webLocks(); err != nil {
		return nil, err
	}

	forget := inPage.add(l.key, changed)
	listener := js.FuncOf(func(_ js.Value, args []js.Value) any {
		// The key is null if the whole localStorage was cleared.
		if key := args[0].Get("key"); key.IsNull() || key.String() == l.key {
			changed()
		}
		return nil
	})
	js.Global().Call("addEventListener", "storage", listener)

	return sync.OnceFunc(func() {
		forget()
		js.Global().Call("removeEventListener", "storage", listener)
		listener.Release()
	}), nil
}

// inPage tells the stores of this page of each other's changes, which the browser does not.
var inPage watchers

type watchers struct {
	mu   sync.Mutex
	last int
	all  map[int]watcher
}

type watcher struct {
	key     string
	changed func()
}

func (w *watchers) add(key string, changed func()) (forget func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = map[int]watcher{}
	}
	w.last++
	id := w.last
	w.all[id] = watcher{key, changed}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.all, id)
	}
}

func (w *watchers) changed(key string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, one := range w.all {
		if one.key == key {
			one.changed()
		}
	}
}

// recoverJS makes an error of an exception, such as that of a full localStorage.
func recoverJS(err *error) {
	switch thrown := recover().(type) {
	case nil:
	case js.Error:
		*err = fmt.Errorf("store: the browser's storage: %w", named(thrown))
	case *js.ValueError:
		*err = errors.New("store: there is no localStorage here")
	default:
		panic(thrown)
	}
}

// named adds the name of an exception to its message, such as QuotaExceededError.
func named(thrown js.Error) error {
	if thrown.Type() != js.TypeObject {
		return thrown
	}
	return fmt.Errorf("%s: %w", thrown.Get("name").String(), thrown)
}
