from pontryagin.training.commands.cli import main

main()
