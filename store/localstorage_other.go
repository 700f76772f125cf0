//go:build !js

package store

import (
	"context"
	"errors"
)

func newLocalStorage(string) Persister { return noLocalStorage{} }

var errNoLocalStorage = errors.New("store: LocalStorage is for a browser (js/wasm); see File")

type noLocalStorage struct{}

func (noLocalStorage) Load(context.Context) ([]byte, error)      { return nil, errNoLocalStorage }
func (noLocalStorage) Save(_ context.Context, _, _ []byte) error { return errNoLocalStorage }
func (noLocalStorage) Delete(context.Context, []byte) error      { return errNoLocalStorage }
func (noLocalStorage) Lock(context.Context) (Lock, error)        { return nil, errNoLocalStorage }
func (noLocalStorage) Watch(func()) (stop func(), err error)     { return nil, errNoLocalStorage }
