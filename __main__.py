from pontryagin.training.cli import main

main()
