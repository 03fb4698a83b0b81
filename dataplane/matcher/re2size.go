package matcher

import (
	"regexp/syntax"
	"slices"
)

// programSize is the size of the program that RE2 would make of a pattern, which is what Envoy's limit
// is about. RE2 cuts its program into lists, one for each instruction that another one jumps to; an
// instruction that is reached without a jump is in its list. This counts the same lists over the
// program that Go makes.
func programSize(re *syntax.Regexp) int {
	re = squash(re).Simplify()
	if rest := afterPrefix(re); rest != nil {
		re = rest // RE2 compares a literal prefix of an anchored pattern without the program
	}
	anchored := stripAnchor(&re, true, 0)
	stripAnchor(&re, false, 0)
	prog, err := syntax.Compile(re)
	if err != nil {
		return 0
	}
	const fail, skipLoop = 1, 2
	f := flattener{prog: prog, roots: map[uint32]bool{uint32(prog.Start): true}, preds: map[uint32][]uint32{}}
	f.successors()
	f.dominators()
	n := fail
	if !anchored {
		n += skipLoop
	}
	for root := range f.roots {
		n += f.listSize(root)
	}
	return n
}

// squash makes one star of a repetition of a repetition, as RE2's parser does.
func squash(re *syntax.Regexp) *syntax.Regexp {
	c := *re
	c.Sub = make([]*syntax.Regexp, len(re.Sub))
	for i, sub := range re.Sub {
		c.Sub[i] = squash(sub)
	}
	if !repeats(c.Op) || !repeats(c.Sub[0].Op) || (c.Flags^c.Sub[0].Flags)&syntax.NonGreedy != 0 {
		return &c
	}
	if c.Op != c.Sub[0].Op {
		c.Op = syntax.OpStar
	}
	c.Sub = c.Sub[0].Sub
	return &c
}

func repeats(op syntax.Op) bool {
	return op == syntax.OpStar || op == syntax.OpPlus || op == syntax.OpQuest
}

// afterPrefix returns what follows ^literal, or nil.
func afterPrefix(re *syntax.Regexp) *syntax.Regexp {
	if re.Op != syntax.OpConcat {
		return nil
	}
	i := 0
	for i < len(re.Sub) && re.Sub[i].Op == syntax.OpBeginText {
		i++
	}
	if i == 0 || i == len(re.Sub) || re.Sub[i].Op != syntax.OpLiteral {
		return nil
	}
	return &syntax.Regexp{Op: syntax.OpConcat, Sub: slices.Clone(re.Sub[i+1:]), Flags: re.Flags}
}

// stripAnchor takes ^ from the beginning, or $ from the end, and tells whether there was one. RE2 looks
// four levels deep.
func stripAnchor(re **syntax.Regexp, start bool, depth int) bool {
	if depth >= 4 {
		return false
	}
	op, at := syntax.OpBeginText, 0
	if !start {
		op, at = syntax.OpEndText, len((*re).Sub)-1
	}
	switch (*re).Op {
	case syntax.OpConcat, syntax.OpCapture:
		if len((*re).Sub) == 0 {
			return false
		}
		c := **re
		c.Sub = slices.Clone(c.Sub)
		if !stripAnchor(&c.Sub[at], start, depth+1) {
			return false
		}
		*re = &c
		return true
	case op:
		*re = &syntax.Regexp{Op: syntax.OpEmptyMatch}
		return true
	}
	return false
}

type flattener struct {
	prog  *syntax.Prog
	roots map[uint32]bool     // instructions that begin a list
	preds map[uint32][]uint32 // the alternations that lead to an instruction
}

// successors makes a root of every instruction that is jumped to.
func (f *flattener) successors() {
	seen := map[uint32]bool{}
	todo := []uint32{uint32(f.prog.Start)}
	for len(todo) > 0 {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[id] {
			continue
		}
		seen[id] = true
		switch in := &f.prog.Inst[id]; in.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			for _, out := range [...]uint32{f.skip(in.Out), f.skip(in.Arg)} {
				f.preds[out] = append(f.preds[out], id)
				todo = append(todo, out)
			}
		case syntax.InstNop:
			todo = append(todo, in.Out)
		case syntax.InstMatch, syntax.InstFail:
		default:
			out := f.skip(in.Out)
			f.roots[out] = true
			todo = append(todo, out)
		}
	}
	delete(f.roots, uint32(f.prog.Start))
	f.roots[f.skip(uint32(f.prog.Start))] = true
}

// skip goes over instructions that do nothing, which RE2 removes.
func (f *flattener) skip(id uint32) uint32 {
	for f.prog.Inst[id].Op == syntax.InstNop {
		id = f.prog.Inst[id].Out
	}
	return id
}

// dominators makes roots of what can also be reached from another list.
func (f *flattener) dominators() {
	start := f.skip(uint32(f.prog.Start))
	sorted := make([]uint32, 0, len(f.roots))
	for r := range f.roots {
		sorted = append(sorted, r)
	}
	slices.Sort(sorted)
	for _, root := range slices.Backward(sorted) {
		if root == start {
			continue
		}
		reach := f.reach(root)
		for id := range reach {
			for _, p := range f.preds[id] {
				if !reach[p] {
					f.roots[id] = true
				}
			}
		}
	}
}

// reach is what root leads to without a jump and without meeting another root.
func (f *flattener) reach(root uint32) map[uint32]bool {
	reach := map[uint32]bool{}
	todo := []uint32{root}
	for len(todo) > 0 {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if reach[id] || id != root && f.roots[id] {
			continue
		}
		reach[id] = true
		if in := &f.prog.Inst[id]; in.Op == syntax.InstAlt || in.Op == syntax.InstAltMatch {
			todo = append(todo, f.skip(in.Out), f.skip(in.Arg))
		}
	}
	return reach
}

func (f *flattener) listSize(root uint32) int {
	n := 0
	seen := map[uint32]bool{}
	todo := []uint32{root}
	for len(todo) > 0 {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[id] {
			continue
		}
		seen[id] = true
		if id != root && f.roots[id] {
			n++ // a jump to the other list
			continue
		}
		switch in := &f.prog.Inst[id]; in.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			if f.anyUntilMatch(id) {
				n++
			}
			todo = append(todo, f.skip(in.Out), f.skip(in.Arg))
		case syntax.InstFail:
		case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
			n += ranges(in)
		default:
			n++
		}
	}
	return n
}

// anyUntilMatch recognises (?s).* before the end, for which RE2 has an instruction more.
func (f *flattener) anyUntilMatch(id uint32) bool {
	in := &f.prog.Inst[id]
	a, b := f.skip(in.Out), f.skip(in.Arg)
	loops := func(x, y uint32) bool {
		return f.prog.Inst[x].Op == syntax.InstRuneAny && f.skip(f.prog.Inst[x].Out) == id && f.prog.Inst[y].Op == syntax.InstMatch
	}
	return loops(a, b) || loops(b, a)
}

// ranges is the number of byte ranges of a class; a range of both cases counts once.
func ranges(in *syntax.Inst) int {
	switch in.Op {
	case syntax.InstRuneAny:
		return 1
	case syntax.InstRuneAnyNotNL:
		return 2
	}
	if len(in.Rune) < 2 {
		return 1
	}
	fold := foldsASCII(in.Rune)
	n := 0
	for i := 0; i+1 < len(in.Rune); i += 2 {
		lo, hi := in.Rune[i], in.Rune[i+1]
		if lo > 0xff || fold && lo >= 'A' && hi <= 'Z' {
			continue
		}
		n++
	}
	return n
}

// foldsASCII tells whether a class has the same letters in either case.
func foldsASCII(rs []rune) bool {
	has := func(r rune) bool {
		for i := 0; i+1 < len(rs); i += 2 {
			if rs[i] <= r && r <= rs[i+1] {
				return true
			}
		}
		return false
	}
	for r := 'A'; r <= 'Z'; r++ {
		if has(r) != has(r+'a'-'A') {
			return false
		}
	}
	return true
}
