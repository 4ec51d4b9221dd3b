module;

module shoal.choker;
