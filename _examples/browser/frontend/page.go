//go:build js

package main

import "syscall/js"

// page is the document that the browser shows. Texts are set as texts and never as HTML, so that
// nothing which a server sends becomes a part of the page.
type page struct{ document js.Value }

func newPage() page { return page{js.Global().Get("document")} }

// origin is the scheme, the host and the port that the page was loaded from.
func (p page) origin() string { return js.Global().Get("location").Get("origin").String() }

func (p page) element(id string) js.Value { return p.document.Call("getElementById", id) }

func (p page) create(tag, text string) js.Value {
	element := p.document.Call("createElement", tag)
	element.Set("textContent", text)
	return element
}

func (p page) replace(id string, children ...any) {
	p.element(id).Call("replaceChildren", children...)
}

func (p page) say(id, text string) { p.element(id).Set("textContent", text) }

// show and hide change whether an element can be seen.
func (p page) show(id string) { p.element(id).Set("hidden", false) }
func (p page) hide(id string) { p.element(id).Set("hidden", true) }

// on calls a function for each event of an element. The browser stands still until an event has been
// handled, and a call of the client waits for the browser. So the function has a goroutine.
func (p page) on(id, event string, do func()) {
	p.element(id).Call("addEventListener", event, js.FuncOf(func(_ js.Value, args []js.Value) any {
		args[0].Call("preventDefault")
		go do()
		return nil
	}))
}

func (p page) disable(id string, off bool) { p.element(id).Set("disabled", off) }

// list shows names as a list, with room for the details of each.
func (p page) list(id string, names []string) {
	var items []any
	for _, name := range names {
		item := p.create("li", name)
		item.Call("append", p.create("span", ""))
		items = append(items, item)
	}
	p.replace(id, items...)
}

// details returns the elements for the details of a list.
func (p page) details(id string) (all []js.Value) {
	items := p.element(id).Get("children")
	for i := range items.Length() {
		all = append(all, items.Index(i).Get("lastChild"))
	}
	return all
}

// field is what a field of a form contains.
func (p page) field(id string) string    { return p.element(id).Get("value").String() }
func (p page) setField(id, value string) { p.element(id).Set("value", value) }
