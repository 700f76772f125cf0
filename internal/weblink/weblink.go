// Package weblink reads the Link header of a response (RFC 8288): the relations of a page to other
// pages. It imports nothing of axle's.
package weblink

import (
	"fmt"
	"strings"

	"github.com/axlehttp/axle/internal/wire"
)

// Find returns the target of the first link that has the relation rel, such as "next", and whether
// there is one. The target is as the server wrote it: an absolute URL, or a reference relative to
// the URL of the response. The values are those of the Link header, in order.
//
// The relation is compared without regard to case (§3.3). A link with an anchor is about another
// page, and Find leaves it out (§3.2). A header that is malformed before the link is found is an
// error: a list that ended there in silence would look complete.
func Find(values []string, rel string) (target string, found bool, err error) {
	for _, value := range values {
		p := parser{text: value}
		for p.skip(" \t,"); p.at < len(p.text); p.skip(" \t,") {
			one, err := p.link()
			if err != nil {
				return "", false, err
			}
			if one.isAbout(rel) {
				return one.target, true, nil
			}
		}
	}
	return "", false, nil
}

// link is one link of the header.
type link struct {
	target    string
	relations string // separated by spaces
	hasRel    bool
	hasAnchor bool
}

func (l *link) isAbout(rel string) bool {
	if l.hasAnchor {
		return false
	}
	for one := range strings.FieldsSeq(l.relations) {
		if strings.EqualFold(one, rel) {
			return true
		}
	}
	return false
}

// parser reads one value of the header. at is the number of bytes that are read.
type parser struct {
	text string
	at   int
}

// skip goes past the bytes of a set.
func (p *parser) skip(set string) {
	for p.at < len(p.text) && strings.IndexByte(set, p.text[p.at]) >= 0 {
		p.at++
	}
}

// has reports whether c is the next byte, and goes past it if so.
func (p *parser) has(c byte) bool {
	if p.at == len(p.text) || p.text[p.at] != c {
		return false
	}
	p.at++
	return true
}

// malformed is the error of a byte that may not stand where it does. It shows no part of the
// header, since the URLs in it may hold secrets.
func (p *parser) malformed(wanted string) error {
	return fmt.Errorf("the Link header is malformed at byte %d: %s is missing", p.at, wanted)
}

// link reads a link with its parameters: <target>; name=value; name="value" (Appendix B.2). It
// stops at the comma before the next link.
func (p *parser) link() (link, error) {
	if !p.has('<') {
		return link{}, p.malformed(`"<"`)
	}
	length := strings.IndexByte(p.text[p.at:], '>')
	if length < 0 {
		return link{}, p.malformed(`">"`)
	}
	one := link{target: strings.TrimSpace(p.text[p.at : p.at+length])}
	p.at += length + 1

	for p.skip(" \t"); p.has(';'); p.skip(" \t") {
		if err := p.parameter(&one); err != nil {
			return link{}, err
		}
	}
	if p.at < len(p.text) && p.text[p.at] != ',' {
		return link{}, p.malformed(`"," or ";"`)
	}
	return one, nil
}

// parameter reads one parameter into a link (Appendix B.3). An empty one, as of ";;", is none.
func (p *parser) parameter(into *link) error {
	p.skip(" \t")
	start := p.at
	for p.at < len(p.text) && wire.IsTokenByte(p.text[p.at]) {
		p.at++
	}
	name := strings.ToLower(p.text[start:p.at])
	p.skip(" \t")

	value := ""
	if p.has('=') {
		p.skip(" \t")
		var err error
		if value, err = p.value(); err != nil {
			return err
		}
	}

	switch {
	case name == "rel" && !into.hasRel:
		// Of several relation types the first parameter holds (§3.3).
		into.relations, into.hasRel = value, true
	case name == "anchor":
		into.hasAnchor = true
	}
	return nil
}

// value reads the value of a parameter: a quoted string, or anything up to the next delimiter.
func (p *parser) value() (string, error) {
	if !p.has('"') {
		start := p.at
		for p.at < len(p.text) && strings.IndexByte(" \t,;", p.text[p.at]) < 0 {
			p.at++
		}
		return p.text[start:p.at], nil
	}

	var value strings.Builder
	for p.at < len(p.text) && p.text[p.at] != '"' {
		if p.text[p.at] == '\\' && p.at+1 < len(p.text) {
			p.at++
		}
		value.WriteByte(p.text[p.at])
		p.at++
	}
	if !p.has('"') {
		return "", p.malformed("a closing quotation mark")
	}
	return value.String(), nil
}
