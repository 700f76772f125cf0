package store

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"syscall/js"
)

// LocalStorage returns a Persister that keeps a session in the localStorage of the page's origin,
// under a key. All tabs of the origin share the session and its lock, which is a Web Lock. The
// browser releases the lock of a tab that is closed.
//
// Every script of the origin can read localStorage. An API that keeps its tokens in HttpOnly cookies
// is safer, and then the session in localStorage has no token in it. Web Locks need a secure context:
// https, or a page on localhost.
func LocalStorage(key string) Persister { return &localStorage{key: key} }

type localStorage struct{ key string }

// Load implements Persister.
func (l *localStorage) Load(ctx context.Context) (data []byte, err error) {
	defer recoverJS(&err)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	item := js.Global().Get("localStorage").Call("getItem", l.key)
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
	js.Global().Get("localStorage").Call("setItem", l.key, base64.StdEncoding.EncodeToString(data))
	inPage.changed(l.key)
	return nil
}

// Delete implements Persister.
func (l *localStorage) Delete(ctx context.Context, old []byte) (err error) {
	defer recoverJS(&err)
	if err := l.compare(ctx, old); err != nil || old == nil {
		return err
	}
	js.Global().Get("localStorage").Call("removeItem", l.key)
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

// Lock implements Persister.
func (l *localStorage) Lock(ctx context.Context) (lock Lock, err error) {
	defer recoverJS(&err)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	locks := js.Global().Get("navigator").Get("locks")
	if locks.IsUndefined() {
		return nil, errors.New("store: the browser has no Web Locks here; the page needs https")
	}

	// The browser holds the lock for as long as the promise that granted returns is pending.
	w := &webLock{granted: make(chan struct{}), ended: make(chan struct{})}
	executor := js.FuncOf(func(_ js.Value, args []js.Value) any {
		w.release = args[0]
		return nil
	})
	granted := js.FuncOf(func(js.Value, []js.Value) any {
		pending := js.Global().Get("Promise").New(executor)
		close(w.granted)
		return pending
	})
	w.functions = []js.Func{executor, granted}
	end := js.FuncOf(func(js.Value, []js.Value) any {
		close(w.ended)
		return nil
	})
	w.functions = append(w.functions, end)

	abort := js.Global().Get("AbortController").New()
	options := map[string]any{"signal": abort.Get("signal")}
	locks.Call("request", "axle session "+l.key, options, granted).Call("then", end, end)

	select {
	case <-w.granted:
		return w, nil
	case <-w.ended:
		w.free()
		return nil, errors.New("store: the browser refused the Web Lock")
	case <-ctx.Done():
	}

	// The lock may be granted in the same moment.
	abort.Call("abort")
	select {
	case <-w.granted:
		return w, nil
	case <-w.ended:
		w.free()
		return nil, fmt.Errorf("%w (the Web Lock of %q)", ErrBusy, l.key)
	}
}

// webLock is a Web Lock that is held, or is asked for.
type webLock struct {
	granted, ended chan struct{}
	release        js.Value // resolves the promise that holds the lock
	functions      []js.Func
}

// Held implements Lock. A tab that the browser freezes keeps its lock.
func (w *webLock) Held() error { return nil }

// Unlock implements Lock.
func (w *webLock) Unlock() error {
	w.release.Invoke()
	<-w.ended
	w.free()
	return nil
}

func (w *webLock) free() {
	for _, f := range w.functions {
		f.Release()
	}
}

// Watch implements Persister. The browser tells a tab of the changes that other tabs make.
func (l *localStorage) Watch(changed func()) (stop func(), err error) {
	defer recoverJS(&err)
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
		*err = fmt.Errorf("store: the browser's storage: %w", thrown)
	case *js.ValueError:
		*err = errors.New("store: there is no localStorage here")
	default:
		panic(thrown)
	}
}
