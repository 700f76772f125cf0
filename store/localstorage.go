package store

// LocalStorage returns a Persister that keeps a session in the localStorage of the page's origin,
// under a key. All tabs of the origin share the session and its lock, which is a Web Lock. It is for
// a browser, where Go is compiled to js/wasm. Elsewhere each of its methods returns an error.
//
// A tab that is closed in the middle of its refresh, and a page that the user leaves then, hold
// nobody up: the browser frees the lock of the former, and LocalStorage that of the latter. The next
// tab tries the same refresh token once more, as after the death of a process: see [Open].
//
// Web Locks need a secure context, which is https or a page on localhost, and a worker has no
// localStorage. There, and in a page that may not use its storage, [Open] returns an error that
// matches [ErrStorage]. So does a refresh while the storage is full; it sends nothing, and the session
// goes on.
//
// Every script of the origin can read localStorage, where the tokens are not encrypted. An API that
// keeps its tokens in HttpOnly cookies is safer. The session in localStorage then has no token in it,
// since a script can neither read nor save such cookies.
func LocalStorage(key string) Persister { return newLocalStorage(key) }
