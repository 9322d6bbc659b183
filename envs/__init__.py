"""Problems, their one discretisation, and the Gymnasium environments made from them."""
