package main

func control([]string) int         { return 1 }
func demo([]string) int            { return 1 }
func explainCommand([]string) int  { return 1 }
func bookinfoCommand([]string) int { return 1 }
